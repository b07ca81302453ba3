"""One HTTP server for every model: Open Inference Protocol, plain pictures, metrics, a page."""
