"""New footage taken in exactly once: what lies in the inbox, what became of each file, and the folders of the scans."""
