"""Library of pretrained transformers that teachers and students share; it registers no components."""
