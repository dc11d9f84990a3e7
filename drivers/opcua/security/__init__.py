"""Who may speak to whom: endpoints, certificates, the trust list and users. Importing this package loads nothing."""
