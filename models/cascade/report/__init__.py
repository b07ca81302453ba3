"""One self-contained HTML file from a cascade's evaluation."""
