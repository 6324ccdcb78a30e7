"""The tables that Terraform is held to."""
