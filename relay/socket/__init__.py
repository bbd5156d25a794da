"""What one facilitator's connection does."""
