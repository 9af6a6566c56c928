"""Work that continues outside a request: runs that another worker resumes."""
