"""What commands share; none is in here."""
