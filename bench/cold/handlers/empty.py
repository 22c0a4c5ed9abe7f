"""What every function costs, whatever it does."""


def handler(event, context):
    return {"statusCode": 204}
