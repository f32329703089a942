"""A small stand-in for Hyrax: the names and the registry that its results layer is reached by."""
