"""Work on many images in blocks: in this process, in shards, or on several machines with Ray."""
