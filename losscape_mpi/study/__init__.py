"""What is asked: the typed study, its file, its fingerprint and its grid."""
