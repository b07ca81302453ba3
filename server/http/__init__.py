"""One HTTP stack: every endpoint is a plain async function from a request to an answer."""
