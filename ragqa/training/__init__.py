"""What training needs beside the trainer: losses, dropout, attention, a second recipe, teachers."""
