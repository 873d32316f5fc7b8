"""What happens to pictures before a training: label, check, split, look, bring in, cut."""
