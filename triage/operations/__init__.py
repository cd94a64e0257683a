"""Operations: the sweep that reconciles spool and queue, dead letters, explanations, shadow comparison."""
