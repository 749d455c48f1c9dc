"""The clients that are measured, a module for each library: functions that do what a workload asks."""
