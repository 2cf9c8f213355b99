class ServingError(Exception):
    pass
