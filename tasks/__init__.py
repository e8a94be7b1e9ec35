"""The domain: plain, typed functions over arrays and tables. No Prefect, no DVC."""
