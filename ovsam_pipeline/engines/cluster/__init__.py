"""Label on a cluster: the driver gives shards of images to workers and counts what they report.

Begin with `run`, the driver's loop. It decides by `schedule` (which shard next, what after a death)
and acts through a `WorkerPool` (`pool`), which `ray_pool` implements with Ray's actors; besides it
only `connection`, which joins a cluster or starts a Ray here, imports Ray. `size` and `address`
read the flags of a cluster; `node_setup` is what a worker's machine takes over from the driver, and
must have in common with it.
"""
