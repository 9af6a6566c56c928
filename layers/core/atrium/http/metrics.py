"""Figures for CloudWatch, each one line of the log in its embedded format. A tenant is never a dimension."""


def count(name: str) -> None:
    """Count one of something, named as `LoginsRefused`."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric(name=name, unit=MetricUnit.Count, value=1, namespace="Atrium"):
        return
