"""YAML that ships with the package: recipes, mixtures, models, clusters, benchmarks."""
