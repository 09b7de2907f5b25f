"""The application: one use case a module. `compose` is the only place where adapters meet the engine."""
