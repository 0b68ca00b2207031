"""Keep artefacts, Arrow tables and JSON files on disk."""
