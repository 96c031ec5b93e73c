"""A workload that attacks a live broker and proves from its history that nothing was lost, doubled, torn or
reordered."""
