"""The only place where adapters meet the engine: one module for each thing that the command line can ask for."""
