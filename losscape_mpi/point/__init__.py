"""What a point of a study answers: its columns, its status, and the records that carry both."""
