"""Where records are shown and kept while a run goes on."""
