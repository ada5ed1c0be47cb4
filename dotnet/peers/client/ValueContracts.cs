using System.Runtime.Serialization;
using System.ServiceModel;

namespace Peers;

/// <summary>Each operation gives back what it gets.</summary>
[ServiceContract(Namespace = Namespaces.Own)]
public interface IValues
{
    [OperationContract] string? String(string? v);
    [OperationContract] bool Boolean(bool v);
    [OperationContract] char Char(char v);
    [OperationContract] sbyte SByte(sbyte v);
    [OperationContract] byte Byte(byte v);
    [OperationContract] short Int16(short v);
    [OperationContract] ushort UInt16(ushort v);
    [OperationContract] int Int32(int v);
    [OperationContract] uint UInt32(uint v);
    [OperationContract] long Int64(long v);
    [OperationContract] ulong UInt64(ulong v);
    [OperationContract] float Single(float v);
    [OperationContract] double Double(double v);
    [OperationContract] decimal Decimal(decimal v);
    [OperationContract] DateTime DateTime(DateTime v);
    [OperationContract] TimeSpan TimeSpan(TimeSpan v);
    [OperationContract] Guid Guid(Guid v);
    [OperationContract] byte[]? Bytes(byte[]? v);
    [OperationContract] int? NullableInt32(int? v);
    [OperationContract] bool[]? BooleanArray(bool[]? v);
    [OperationContract] short[]? Int16Array(short[]? v);
    [OperationContract] int[]? Int32Array(int[]? v);
    [OperationContract] long[]? Int64Array(long[]? v);
    [OperationContract] float[]? SingleArray(float[]? v);
    [OperationContract] double[]? DoubleArray(double[]? v);
    [OperationContract] decimal[]? DecimalArray(decimal[]? v);
    [OperationContract] DateTime[]? DateTimeArray(DateTime[]? v);
    [OperationContract] TimeSpan[]? TimeSpanArray(TimeSpan[]? v);
    [OperationContract] Guid[]? GuidArray(Guid[]? v);
    [OperationContract] string?[]? StringArray(string?[]? v);
}

/// <summary>A body that another program writes; members in this order.</summary>
[DataContract(Namespace = Namespaces.Own)]
public sealed class Values
{
    [DataMember(Order = 1)] public string[]? Strings;
    [DataMember(Order = 2)] public bool[]? Booleans;
    [DataMember(Order = 3)] public long[]? Int64s;
    [DataMember(Order = 4)] public ulong[]? UInt64s;
    [DataMember(Order = 5)] public float[]? Singles;
    [DataMember(Order = 6)] public double[]? Doubles;
    [DataMember(Order = 7)] public decimal[]? Decimals;
    [DataMember(Order = 8)] public DateTime[]? DateTimes;
    [DataMember(Order = 9)] public TimeSpan[]? TimeSpans;
    [DataMember(Order = 10)] public Guid[]? Guids;
    [DataMember(Order = 11)] public List<byte[]>? Bytes;
}
