"""The local AWS of deploy/, for tests."""

from deploy.ministack import ENVIRONMENT, REGION, running

__all__ = ["ENVIRONMENT", "REGION", "running"]
