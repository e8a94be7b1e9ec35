"""Data sets: reading and importing formats, checking them, describing them, and rendering the embedded one."""
