"""One module for each change of the schema, in the form Alembic wants; never edited after its release."""
