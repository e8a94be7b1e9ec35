"""Order, retries, progress and schedules: thin Prefect flows around `tasks`."""
