"""One run of a study: from its settings to what the farm is handed."""
