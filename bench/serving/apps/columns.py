"""The raw columns of the churn model, for peers that have no package of ours."""

NUMBERS = tuple(f"x{number}" for number in range(10))
CATEGORIES = ("contract", "payment", "region", "plan", "device")
COLUMNS = [*NUMBERS, *CATEGORIES]
