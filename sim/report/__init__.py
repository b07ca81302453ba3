"""One self-contained HTML file from a finished evaluation."""
