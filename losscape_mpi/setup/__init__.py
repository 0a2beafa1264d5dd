"""What `init` does: asks what a user has, looks at the checkpoint, writes a study."""
