"""What whoever operates the server needs: metrics, health, systemd, doctor, reference."""
