"""What a person looks at: reports, comparisons, noise figures."""
