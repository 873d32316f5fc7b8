"""A detector for the Raspberry Pi AI Camera, whose sensor, the IMX500, runs the network itself."""
