"""How a workflow that cannot be is ended."""

from temporalio.exceptions import ApplicationError

from omhand.contract.names import StartFault


def start_failure(fault: StartFault, message: str) -> ApplicationError:
    """The failure of a workflow that cannot be: at once, and never tried again (contract §1)."""
    return ApplicationError(message, type=fault.value, non_retryable=True)
