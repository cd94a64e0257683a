"""The sources of settings: files, environment variables, files of secrets; and their merge."""
