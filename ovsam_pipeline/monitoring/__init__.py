"""What is known of a run while it labels: counts, phases, speed, and how it ended.

Engines count rows in a `RunReport`; `RunState` adds phases and the end. From these two come the
progress line (`progress`), OUT/status.json (`run_state`), the Prometheus file (`metrics_file`) and
the exit code. Begin with `report`; `run_state.read_status` decides whether a run is alive.
"""
