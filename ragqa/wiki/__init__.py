"""What a MediaWiki holds and says: its pages by API and by dump, and what its markup means."""
