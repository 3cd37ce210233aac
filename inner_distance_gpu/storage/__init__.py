"""Labels from files and stores, targets into them. Nothing here is imported with the package."""
