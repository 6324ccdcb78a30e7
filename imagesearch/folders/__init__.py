"""Pictures in folders of one's own: what is in and beside their files."""
