"""Places with files: one contract, kept by local directories and S3-compatible buckets."""
