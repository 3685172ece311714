"""The package pyarrow, on demand: listings, labels and manifests are Parquet files."""

from ....errors import InputError


def import_pyarrow():
    """The package pyarrow, with its Parquet part.

    Raises:
        InputError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "expected the package pyarrow for pseudo-labels, got none: pip install 'frozen-det[noisy-student]'."
        ) from error
    return pyarrow
