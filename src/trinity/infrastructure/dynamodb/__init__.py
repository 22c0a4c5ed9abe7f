"""The `Table` port on Amazon DynamoDB."""
