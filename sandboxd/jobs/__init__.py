"""Jobs on disk: what is asked, how far it is, what it wrote, how it ended."""
